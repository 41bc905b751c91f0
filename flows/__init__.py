"""What happens, in which order and when: Prefect flows and the command line."""
