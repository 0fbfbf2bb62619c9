"""Run by a Python of its own, in a folder without the repository: python kernels.py FOLDER NOTEBOOK..."""

import sys

import papermill

for path in sys.argv[1:]:
    papermill.execute_notebook(
        path,
        path,
        kernel_name="python3",
        language="python",
        progress_bar=False,
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
    )
