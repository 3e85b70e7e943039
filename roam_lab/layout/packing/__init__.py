"""Machinery of layouts: fields of lifetimes, skylines, boxes, mending. No strategy is registered here."""
