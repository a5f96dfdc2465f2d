"""`photone up` on PostgreSQL, open to the network, with secrets in its environment: the same work, and no secret in any file.

The database is a real one, of Debian's package `postgresql`, in a folder of its own and under a user of its own, since it
refuses root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served import Up, small_picture

from flows.service.server import free_ports

pytestmark = pytest.mark.slow

PASSWORD, LOGIN, KEY = "sw0rdfish-of-the-database", "gr33n-sleeves-of-tim", "sk-0123456789-of-the-model"


def programs() -> Path | None:
    """Where initdb and pg_ctl are."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def as_nobody_special(*command: object) -> None:
    """Run a command as the user `postgres` where we are root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*prefix, *map(str, command)], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an empty database with a password."""
    binaries = programs()
    assert binaries is not None, "PostgreSQL is missing: `make test` installs it, or: sudo apt-get install postgresql"
    home = Path("/tmp") / f"photone-pg-{os.getpid()}"  # pytest's folders are closed to other users
    home.mkdir()
    secret = home / "password"
    secret.write_text(PASSWORD)
    if os.getuid() == 0:
        for path in (home, secret):
            shutil.chown(path, "postgres")
    (port,) = free_ports(1)
    data = home / "data"
    options = f"-c listen_addresses=127.0.0.1 -p {port} -k {home} -c fsync=off -c log_statement=none"
    try:
        as_nobody_special(binaries / "initdb", "-D", data, "-U", "photone", "-A", "scram-sha-256", "--pwfile", secret)
        as_nobody_special(binaries / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start")
        yield f"postgresql://photone:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        as_nobody_special(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(home)


def test_the_same_on_postgresql_with_a_password_and_no_secret_in_any_file(
    database: str, launched: Callable[..., Up], tmp_path: Path
) -> None:
    small_picture(tmp_path / "lake.png")
    family = launched(
        *("--host", "0.0.0.0"),
        PHOTONE_DATABASE_URL=database,
        PREFECT_SERVER_API_AUTH_STRING=f"tim:{LOGIN}",
        PHOTONE_API_KEY=KEY,
    )
    assert "without a password" not in family.output  # it has one
    for url, body in ((f"{family.api.url}/deployments/filter", b"{}"), (f"{family.player}/", None)):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=10)
    run = family.start("picture-to-song", picture="lake.png", options={"preview_s": 1, "compact": True})
    assert family.wait(run)["state_type"] == "COMPLETED"
    report = family.artifacts(run)["song"]["data"]
    assert "# lake.png: canon.mid" in report
    with_key = {"base_url": "http://127.0.0.1:9/v1"}
    failed = family.start(
        "picture-to-song",
        picture="lake.png",
        out="runs/asked",
        vision="openai-http",
        options={"vision_detail": f"{with_key['base_url']}?model=any", "preview_s": 1},
    )
    assert family.wait(failed, ("FAILED", "AWAITINGRETRY", "SCHEDULED"))["state_type"] != "COMPLETED"
    everything = [family.ask("logs/filter", {"limit": 200}), family.ask("flow_runs/filter", {}), report]
    family.stop()
    assert not (tmp_path / ".prefect" / "prefect.db").exists()  # nothing fell back to SQLite
    for secret in (PASSWORD, LOGIN, KEY):
        assert secret not in str(everything)
        for path in (path for path in tmp_path.rglob("*") if path.is_file()):
            assert secret.encode() not in path.read_bytes(), path
