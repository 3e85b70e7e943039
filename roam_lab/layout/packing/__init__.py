"""What several layout strategies use: lifetimes as arrays, skylines, boxes, mending. No strategy is registered here."""
