"""A reproducible study of facial-expression recognition on FER2013."""
