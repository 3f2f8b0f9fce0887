// The service and the simulated provider, as the tests start them: on loopback ports of their own, in a folder of their own.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createServer } from "node:net";

const ROOT = resolve(import.meta.dirname, "../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");

/** Returns a built program, the release build if there is one and `UI_PROFILE` does not say otherwise. */
export function program(name) {
  const profiles = process.env.UI_PROFILE ? [process.env.UI_PROFILE] : ["debug", "release"];
  const found = profiles.map((profile) => join(TARGET, profile, name)).find(existsSync);
  if (!found) throw new Error(`${name} is not built; run \`make ui-test\`, which builds it`);
  return found;
}

function freePort() {
  return new Promise((done, failed) => {
    const server = createServer();
    server.once("error", failed);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

/** Starts a program and waits for a line of its output that matches. */
function start(file, args, env, pattern) {
  const child = spawn(file, args, { env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const ready = new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`${file} said nothing of being ready:\n${output}`)), 30_000);
    const read = (part) => {
      output += part;
      const match = pattern.exec(output);
      if (match) {
        clearTimeout(timer);
        done(match);
      }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", (code) => {
      clearTimeout(timer);
      failed(new Error(`${file} ended with ${code}:\n${output}`));
    });
  });
  return { child, ready, output: () => output };
}

const stop = (child) =>
  new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) return done();
    child.once("exit", done);
    child.kill("SIGTERM");
    setTimeout(() => child.kill("SIGKILL"), 5000).unref();
  });

/** Starts a simulated provider with these options, and a service that uses it. `config` is added to the service's file. */
export async function startStack({ upstream = [], config = "", provider = "", env = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "extractd-ui-"));
  const children = [];
  try {
    const fake = start(program("upstream-sim"), upstream.map(String), {}, /listening on (\S+)/);
    children.push(fake.child);
    const [, base] = await fake.ready;
    const port = await freePort();
    const file = join(folder, "extractd.toml");
    writeFileSync(file, `listen = "127.0.0.1:${port}"\nmodel = "sim/fast"\n${config}\n[providers.sim]\nkind = "openai"\nbase_url = "${base}"\napi_key = "none"\n${provider}\n`);
    const service = start(program("extractd"), ["--config", file], { EXTRACTD_DATA_DIR: join(folder, "data"), ...env }, /listening/);
    children.push(service.child);
    await service.ready;
    return {
      url: `http://127.0.0.1:${port}`,
      log: service.output,
      pid: service.child.pid,
      async stop() {
        await Promise.all(children.reverse().map(stop));
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await Promise.all(children.map(stop));
    throw error;
  }
}
