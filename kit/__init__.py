"""The audio competition kit: from a first look at the data to a submission and an honest CV/LB table."""
