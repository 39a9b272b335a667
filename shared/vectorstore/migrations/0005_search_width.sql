-- How far a scan of the version's HNSW indexes has to look (hnsw.ef_search) to find what the loader wants of it.
alter table millrace.model_version add column search_width int;
