"""Policies act in environments, for recording and for judging."""
