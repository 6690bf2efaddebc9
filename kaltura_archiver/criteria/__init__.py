"""What a query can ask for, one class each: as items of a search, as the same test of one entry, and in words. Pure.

A class is all that is known of its criterion; the option that fills it is in `cli/options.py`. What the search lets
through is tested again, since its index lags and knows less than the database (kaltura-api 3.2, 3.4).
"""
