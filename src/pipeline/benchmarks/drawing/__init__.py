"""Drawing and writing that the benchmark families share."""
