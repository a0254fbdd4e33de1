"""Sources and sinks that come with streamflow, one module each; found by the entry points `streamflow.connectors`."""
