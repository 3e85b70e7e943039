"""The coverage suite: for many models, does roam-lab train them as eager does? `make coverage-of-models` runs all."""
