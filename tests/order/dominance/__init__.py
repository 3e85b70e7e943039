"""Tests of dominant schedules."""
