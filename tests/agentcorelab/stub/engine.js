// The engine process (engine.py): requests by JSON lines, answers as promises.
const { spawn } = require("node:child_process");
const { createInterface } = require("node:readline");

class EngineError extends Error {
  constructor(message, kind) {
    super(message);
    this.kind = kind; // the class of libci's error
  }
}

class Engine {
  constructor(command) {
    this.waiting = new Map();
    this.next = 1;
    this.process = spawn(command[0], command.slice(1), { stdio: ["pipe", "pipe", "inherit"] });
    this.process.on("exit", (code, signal) => {
      console.error(`the engine ended: ${code ?? signal}`);
      process.exit(1);
    });
    createInterface({ input: this.process.stdout, crlfDelay: Infinity }).on("line", (line) =>
      this.take(JSON.parse(line)),
    );
  }

  take(message) {
    const { resolve, reject, output } = this.waiting.get(message.id);
    if (message.stream) return output(message.stream, message.text);
    this.waiting.delete(message.id);
    if ("failed" in message) reject(new EngineError(message.failed, message.kind));
    else resolve(message.done);
  }

  // output(stream, text) is called as things are printed.
  ask(session, op, members = {}, output = () => {}) {
    return new Promise((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject, output });
      this.process.stdin.write(JSON.stringify({ id, session, op, ...members }) + "\n");
    });
  }
}

module.exports = { Engine, EngineError };
