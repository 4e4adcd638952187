"""The command, and a small store and backbone, for those who mean harm."""

from tests.cli.conftest import coarse, command, fails, store, trained, training
from tests.report.conftest import folder_of, make_run, make_study
from tests.text.conftest import write_mc4

FIXTURES = (coarse, command, fails, folder_of, make_run, make_study, store, trained, training, write_mc4)
