"""The commands and what each is for, in the order of the help: so that `--help` imports none of them."""

COMMANDS = {
    "config": "Check the settings: sign in to Kaltura, look at the bucket, the placeholder; LDAP and mail if set.",
    "list": "List entries, or their flavor assets, one row each.",
    "count": "Count the entries that match, with the filter that was used; --max-entries does not limit it.",
    "health": "Check each entry against S3: a row each, what is wrong also on stderr; exit 1 if one is broken.",
    "explain": (
        "Tell everything about one entry: its state and why, the evidence, and what each command would do now."
    ),
    "download": "Fetch the original of one entry to a local file; its path, size and SHA-256 are printed.",
    "s3copy": "Copy the original of each entry to S3, verify it, and tag the entry archived_to_s3.",
    "replace_video": (
        "Replace the originals of archived entries by the placeholder video, and tag the entries flavors_deleted."
    ),
    "restore": "Bring originals back from S3 or Glacier and drop the tag flavors_deleted.",
    "repair": "Go on from interrupted states: put back missing tags, the placeholder, or the original.",
    "verify": "Read stored copies back and compare them with their checksums; exit 1 if one is damaged.",
    "unlock": "Free the lock of a command whose run was killed.",
    "run_task": "Start a job on AWS now, in the tasks that aws/template.yaml has made.",
    "sandbox": "Run a Kaltura and an S3 of your own on this machine, with a small library, to try any command on.",
    "demo": "Show the whole cycle on the built-in sandbox: archive, replace, thaw, restore.",
    "cluster": (
        "Set up a fleet by hand, for --cluster tls://HOST:PORT: certificates, one scheduler, and workers on "
        "any machines."
    ),
    "completion": "Print the script by which your shell completes commands, options and their values on TAB.",
    "enrich": "Append ldap_status (active, inactive, unknown), name and org_unit of each row's owner to a TSV.",
    "ldapsearch": (
        "Run one LDAP filter and print the attributes asked for; without any, the names (dn) of what it finds."
    ),
    "due": (
        "List what breaks the rule of so many years, and the command that mends it: to archive, to replace, to restore."
    ),
    "notify": "Write to each owner of a list which of their videos will be replaced, when, and how to keep them.",
    "placeholder": "Make a placeholder video: a text and a logo on a plain background, in silence.",
    "plan": (
        "Write down what s3copy (archive), replace_video or restore would do, entry by entry, for a person to review."
    ),
    "apply": "Do what a plan says, to the entries of its lines; a dry run unless told otherwise.",
    "report": "Write a page about the library: one HTML file that needs nothing else, to look at, print and send.",
    "stats": "Add entries and bytes up: by state, storage class, year created and played, category, owner's unit.",
}
