"""From folders, tables, zips and datasets to pictures."""
