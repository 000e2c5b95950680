"""Reports: tables for the terminal, prose and plots for a run's page."""
