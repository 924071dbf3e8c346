"""What the broker keeps a copy of: release metadata, artifacts in chunks, desired documents. The database is the truth;
everything here is published anew on every connection, for a broker may have forgotten it.
"""
