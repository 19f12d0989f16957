// The operations on sessions: start, get, list, stop, and their end by time.
const { randomInt } = require("node:crypto");
const { Failure, invalid } = require("./answer.js");
const { checkBody, checkSession } = require("./checks.js");

const DEFAULT_SECONDS = 900;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const NAME = /^(aws\.codeinterpreter\.v1|[a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10})$/;
const ARN = /^arn:[a-z-]+:bedrock-agentcore:[a-z0-9-]+:(aws|\d{12}):code-interpreter(-custom)?\/(.+)$/;

// A ULID: 48 bits of time and 80 random ones.
function makeId(now) {
  let id = "";
  for (let shift = 45; shift >= 0; shift -= 5) id += ALPHABET[Math.floor(now / 2 ** shift) % 32];
  for (let i = 0; i < 16; i++) id += ALPHABET[randomInt(32)];
  return id;
}

class Service {
  constructor(engine, settings) {
    this.engine = engine;
    this.settings = settings;
    this.sessions = new Map();
    this.tokens = new Map(); // clientToken: the body that came with it, and the answer
  }

  now() {
    return new Date(Date.now() + this.settings.clock_ms);
  }

  // An identifier's name, of an ARN too.
  interpreter(identifier) {
    const name = ARN.exec(identifier)?.[3] ?? identifier;
    if (!NAME.test(name)) throw invalid("codeInterpreterIdentifier", `must satisfy ${NAME.source}`);
    return name;
  }

  // One that is ready, or a Failure.
  ready(interpreter, id) {
    const session = this.known(interpreter, id);
    if (session.status !== "READY") throw new Failure("ResourceNotFoundException", `Session ${id} is not active`);
    return session;
  }

  known(interpreter, id) {
    checkSession(id);
    const session = this.sessions.get(id);
    if (session?.interpreter !== interpreter) throw new Failure("ResourceNotFoundException", `Session ${id} not found`);
    return session;
  }

  // The answer of the first request with this token, or of work().
  once(token, body, work) {
    const before = token && this.tokens.get(token);
    if (!before) {
      const answer = work();
      if (token) {
        this.tokens.set(token, { body, answer });
        answer.catch(() => this.tokens.delete(token));
      }
      return answer;
    }
    if (before.body === body) return before.answer;
    throw new Failure("ValidationException", "The clientToken came with another request before", {
      reason: "IdempotentParameterMismatchException",
    });
  }

  Start({ interpreter, body }) {
    checkBody("Start", body);
    return this.once(body.clientToken, JSON.stringify(["Start", interpreter, body]), () =>
      this.start(interpreter, body),
    );
  }

  async start(interpreter, { name, sessionTimeoutSeconds = DEFAULT_SECONDS }) {
    const ready = [...this.sessions.values()].filter((session) => session.status === "READY");
    if (ready.length >= this.settings.quota)
      throw new Failure("ServiceQuotaExceededException", `There are ${ready.length} sessions already`);
    const createdAt = this.now().toISOString();
    const session = { id: makeId(Date.now()), interpreter, name, sessionTimeoutSeconds, createdAt, status: "READY" };
    Object.assign(session, { lastUpdatedAt: createdAt, tasks: new Map(), invokes: 0 });
    this.sessions.set(session.id, session);
    await this.engine.ask(session.id, "open", {
      folders: this.settings.manner === "captured" ? ["log", ".ipython"] : [],
    });
    // The end of a session's time is not put off by what it does.
    session.timer = setTimeout(() => this.terminate(session), sessionTimeoutSeconds * 1000);
    return { codeInterpreterIdentifier: interpreter, sessionId: session.id, createdAt };
  }

  terminate(session) {
    if (session.status === "TERMINATED") return;
    clearTimeout(session.timer);
    session.status = "TERMINATED";
    session.lastUpdatedAt = this.now().toISOString();
    return this.engine.ask(session.id, "close").catch(() => {});
  }

  Stop({ interpreter, query, body }) {
    checkBody("Stop", body);
    const id = query.get("sessionId") ?? undefined;
    const work = async () => {
      const session = this.ready(interpreter, id);
      await this.terminate(session);
      return { codeInterpreterIdentifier: interpreter, sessionId: id, lastUpdatedAt: session.lastUpdatedAt };
    };
    return this.once(body.clientToken, JSON.stringify(["Stop", interpreter, id, body]), work);
  }

  Get({ interpreter, query }) {
    const session = this.known(interpreter, query.get("sessionId") ?? undefined);
    const { name, sessionTimeoutSeconds, status, createdAt } = session;
    const answer = { codeInterpreterIdentifier: interpreter, sessionId: session.id, createdAt, status };
    return { ...answer, sessionTimeoutSeconds, ...(name !== undefined && { name }) };
  }

  List({ interpreter, body }) {
    checkBody("List", body);
    const { maxResults = 10, nextToken = "0", status } = body;
    if (!/^\d+$/.test(nextToken)) throw invalid("nextToken", "is not one of ours");
    const all = [...this.sessions.values()].filter(
      (session) => session.interpreter === interpreter && (!status || session.status === status),
    );
    const end = Number(nextToken) + maxResults;
    const items = all.slice(Number(nextToken), end).map(({ id, name, status, createdAt, lastUpdatedAt }) => {
      return { codeInterpreterIdentifier: interpreter, sessionId: id, name, status, createdAt, lastUpdatedAt };
    });
    return { items, ...(end < all.length && { nextToken: String(end) }) };
  }

  async reset() {
    await Promise.all([...this.sessions.values()].map((session) => this.terminate(session)));
    this.sessions.clear();
    this.tokens.clear();
  }
}

module.exports = { Service };
