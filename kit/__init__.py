"""The audio competition kit: from a first look at the data to a submission and an honest CV/LB table."""

import warnings

# joblib renews a worker that has grown, as importing torch makes it. Nothing is lost, and every notebook would show it.
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given", UserWarning)
