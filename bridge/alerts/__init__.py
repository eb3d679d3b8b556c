"""When an alert is raised, updated and cleared. Pure: reports, transitions, deadlines in; changes out; time is data."""
