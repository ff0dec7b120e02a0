// A cluster of real processes for the checks: `squall dev`, and topologies submitted to it.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, rmSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const { SQUALL, PLANTED, OUT } = process.env;

const freePort = () => new Promise((done, fail) => {
  const server = createServer().on("error", fail).listen(0, "127.0.0.1", () => {
    const { port } = server.address();
    server.close(() => done(port));
  });
});

/** Waits until `look` gives something, and says what was waited for if it never does. */
export async function until(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`waited ${seconds} s for: ${what}${last ? ` (${last.message})` : ""}`);
}

/** Starts a cluster; `squall` runs a command on it, `submit` gives it a topology with trouble in it. */
export async function start() {
  const [grpc, http] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), "squall-dashboard-"));
  const log = openSync(join(OUT, "cluster.log"), "w");
  const flags = ["dev", "--slots", "12", "--data-dir", folder, "--listen", `127.0.0.1:${grpc}`, "--http", `127.0.0.1:${http}`];
  const child = spawn(SQUALL, flags, { stdio: ["ignore", log, log] });
  const ended = new Promise((done) => child.on("exit", done));
  const url = `http://127.0.0.1:${http}`;
  const get = async (path) => {
    const response = await fetch(url + path);
    return response.ok ? response.json() : null;
  };
  const squall = (...words) => run(SQUALL, [...words, "--nimbus", `127.0.0.1:${grpc}`]);
  const cluster = {
    url, get, squall,
    submit: (name, settings, ...words) =>
      run(SQUALL, ["submit", resolve(PLANTED), "--nimbus", `127.0.0.1:${grpc}`, "--name", name, ...settings, "--", ...words]),
    status: (name) => get(`/api/v1/topologies/${name}`),
    kill: async (name) => {
      await squall("kill", name, "--drain", "0s", "--yes");
      await until(`${name} is gone`, async () => (await cluster.status(name)) === null);
    },
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    await until("the cluster is ready", async () => (await fetch(`${url}/readyz`)).ok);
    await until("its supervisor is there", async () => (await get("/api/v1/supervisors")).length === 1);
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}
