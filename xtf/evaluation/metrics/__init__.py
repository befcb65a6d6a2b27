"""The metrics that come with XTF, one file each; found by entry point, as a third party's are."""
