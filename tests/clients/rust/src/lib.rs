//! Nothing: the tests are in `tests`, against the server that `ORION_URL` names (see `../run`).
