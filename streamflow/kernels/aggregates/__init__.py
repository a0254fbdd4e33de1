"""The families of aggregates, one module each; `streamflow.kernels.aggregate` has the table of kinds."""
