"""A reproducible study of facial-expression recognition on FER2013."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings would stand in every notebook
