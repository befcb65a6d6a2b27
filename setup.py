"""What pyproject.toml cannot say: ``attributes/`` is installed as ``xtf_attributes``, which no file of a user hides."""

from setuptools import find_packages, setup

scorers = ["xtf_attributes", *(f"xtf_attributes.{name}" for name in find_packages("attributes"))]
setup(packages=[*find_packages(include=["xtf", "xtf.*"]), *scorers], package_dir={"xtf_attributes": "attributes"})
