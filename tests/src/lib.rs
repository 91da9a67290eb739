//! Nothing yet: the end-to-end tests stand in `tests/`.
