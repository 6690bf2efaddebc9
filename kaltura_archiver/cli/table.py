"""The commands and what each is for in one line that no terminal cuts, grouped by what people do, so that `--help`
imports none of them."""

GROUPS = {
    "Look": {
        "list": "List entries, or their flavor assets, one row each",
        "count": "Count the entries that match",
        "health": "Check each video against S3, and say what needs attention",
        "explain": "Tell about one entry: its state, why, and what to do",
        "due": "List what breaks the rule of years, and what mends it",
        "stats": "Add entries and bytes up by state, year, category, owner",
        "report": "Write a page about the library, to look at and send",
        "download": "Fetch the original of one entry to a local file",
    },
    "Move (dry runs unless told --no-dry-run)": {
        "s3copy": "Copy originals to S3, and tag the entries archived_to_s3",
        "replace_video": "Replace archived originals by the placeholder video",
        "thin": "Leave a small flavor to play, the original in S3 only",
        "restore": "Bring originals back from S3 or Glacier",
        "repair": "Go on from interrupted states",
        "resolve": "Say which of two videos an entry is to have",
        "verify": "Read stored copies back and compare them",
        "run": "Carry out a policy file: rule by rule what is due",
        "plan": "Write down what would be done, for a person to review",
        "apply": "Do what a plan says",
    },
    "Owners": {
        "enrich": "Append the owner's status, name and unit to rows",
        "ldapsearch": "Ask the directory by an LDAP filter",
        "notify": "Write to owners which of their videos will be replaced",
    },
    "Set up": {
        "config": "Check the settings, the services and the placeholder",
        "placeholder": "Make a placeholder video",
        "policy": "Help with writing a policy file for run",
        "completion": "Print the script by which your shell completes words",
        "sandbox": "Run a Kaltura and an S3 of your own, to try commands on",
        "demo": "Show the whole cycle on the sandbox",
        "app_token": "Make an app token of Kaltura's for the tasks on AWS",
        "run_task": "Start a job on AWS now",
        "cluster": "Set up a fleet of machines by hand",
        "unlock": "Free the lock of a run that was killed",
    },
}
COMMANDS = {name: summary for commands in GROUPS.values() for name, summary in commands.items()}
