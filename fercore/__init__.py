"""A reproducible study of facial-expression recognition on FER2013."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's greetings, and its regrets that there is no GPU
