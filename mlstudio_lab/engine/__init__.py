"""What happens to a run: memo look-up, admit, submit, adopt what was lost, commit in one transaction."""
