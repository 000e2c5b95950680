"""The entry erase: a deletion request, from its list of records to evidence."""
