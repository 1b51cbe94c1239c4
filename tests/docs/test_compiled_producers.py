"""The programs for Go and Java of docs/producers.md, with the drivers that Debian has."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mongoq import Queue
from mongoq.embedded.server import EmbeddedServer
from tests.docs.pages import ROOT, blocks

GO_DRIVER = Path("/usr/share/gocode/src/go.mongodb.org/mongo-driver")
JAVA_DRIVER = Path("/usr/share/java/mongo-java-driver.jar")
TODAYS = {
    "bson.NewObjectID": "primitive.NewObjectID",
    "writeconcern.Majority()": "writeconcern.New(writeconcern.WMajority())",
}
"""Names of the second version of Go's driver, and those of the first, which Debian has."""
GO = """package main

import (
	"context"
	"os"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/bson/primitive"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
)

BLOCK
func main() {
	ctx := context.Background()
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(os.Getenv("MONGOQ_URI")))
	if err == nil {
		_, err = enqueue(ctx, client.Database("shop"), "mail", "welcome", bson.M{"user": 44})
	}
	if err != nil {
		panic(err)
	}
}
"""
JAVA = """import com.mongodb.*;
import com.mongodb.client.*;
import java.util.*;
import org.bson.*;
import org.bson.types.ObjectId;

public class Enqueue {
BLOCK
    public static void main(String[] arguments) {
        MongoClient client = new MongoClient(new MongoClientURI(System.getenv("MONGOQ_URI")));
        enqueue(client.getDatabase("shop"), "mail", "welcome", new Document("user", 44));
        client.close();
    }
}
"""

pytestmark = pytest.mark.long


def go(code: str, folder: Path) -> list[str]:
    if shutil.which("go") is None or not GO_DRIVER.exists():
        pytest.skip("Go or its driver is not there: apt-get install golang-go golang-mongodb-mongo-driver-dev")
    for todays, there in TODAYS.items():
        assert todays in code
        code = code.replace(todays, there)
    (folder / "enqueue.go").write_text(GO.replace("BLOCK", code))
    return ["go", "run", "enqueue.go"]


def java(code: str, folder: Path) -> list[str]:
    if shutil.which("javac") is None or not JAVA_DRIVER.exists():
        pytest.skip("a JDK or the driver is not there: apt-get install default-jdk-headless libmongodb-java")
    (folder / "Enqueue.java").write_text(JAVA.replace("BLOCK", code))
    compiler = shutil.which("javac") or "javac"
    subprocess.run([compiler, "-cp", JAVA_DRIVER, "Enqueue.java"], cwd=folder, check=True)
    return ["java", "-cp", f"{JAVA_DRIVER}:.", "Enqueue"]


@pytest.mark.parametrize("language, built", [("go", go), ("java", java)])
def test_one_insert_is_a_task(
    server: EmbeddedServer, language: str, built: Callable[[str, Path], list[str]], tmp_path: Path
) -> None:
    namespace = f"t-{secrets.token_hex(4)}"
    (block,) = blocks(ROOT / "docs" / "producers.md", language)
    command = built(block.code.replace("shop.tasks", f"{namespace}.tasks"), tmp_path)
    uri = server.uri.replace("/?", "/shop?")
    ours = {"MONGOQ_URI": uri, "GOPATH": str(GO_DRIVER.parents[2]), "GO111MODULE": "off", "GOCACHE": str(tmp_path)}
    with Queue(uri, namespace=namespace) as queue:
        queue.init(validator=True)
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, **ours}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        seen = queue.claim(queues=["mail"])
        assert seen is not None
        assert (seen.name, seen.tags) == ("welcome", {"user": 44})
