// Answers: JSON, errors and event streams, well formed or as a rule wants them (README.md).
const { setTimeout: wait } = require("node:timers/promises");
const { EventStreamCodec } = require("@smithy/eventstream-codec");

const STATUS = {
  ValidationException: 400,
  ServiceQuotaExceededException: 402,
  AccessDeniedException: 403,
  UnrecognizedClientException: 403,
  InvalidSignatureException: 403,
  ExpiredTokenException: 403,
  MissingAuthenticationTokenException: 403,
  IncompleteSignatureException: 403,
  ResourceNotFoundException: 404,
  UnknownOperationException: 404,
  ConflictException: 409,
  ThrottlingException: 429,
  InternalServerException: 500,
};
const PAGE = "<html><head><title>Service Unavailable</title></head><body><h1>It is not there</h1></body></html>\n";
const BEGUN = {
  content: [{ type: "text", text: "begun" }],
  structuredContent: { stdout: "begun", stderr: "" },
  isError: false,
};

// An error of the service. More: reason and fieldList of a ValidationException.
class Failure extends Error {
  constructor(name, message, more = {}) {
    super(message);
    this.name = name;
    this.more = more;
  }
}

// A ValidationException for one field.
const invalid = (field, message) =>
  new Failure("ValidationException", `${field}: ${message}`, {
    reason: "FieldValidationFailed",
    fieldList: [{ name: field, message }],
  });

// Whether the other side has left.
const gone = (response) => response.socket?.destroyed ?? true;

// The connection's end as the rule wants it, after what was written has gone out.
function cut(response, rule) {
  const { socket } = response;
  if (gone(response)) return;
  if (rule.reset) socket.resetAndDestroy();
  else socket.end(() => socket.destroy());
}

async function sendHead(response, rule, status, headers) {
  await wait(rule.head_ms ?? 0);
  if (gone(response)) return;
  if (rule.cut === "before-head") return cut(response, rule);
  response.writeHead(status, headers);
  response.flushHeaders();
  if (rule.cut === "after-head") return cut(response, rule);
  await wait(rule.first_ms ?? 0);
}

async function sendWhole(response, rule, status, headers, body) {
  const bytes = Buffer.from(body);
  await sendHead(response, rule, status, { "content-length": bytes.length, ...headers });
  if (gone(response)) return;
  await writePaced(response, bytes, rule.pace);
  response.end();
}

async function writePaced(response, bytes, pace) {
  const [size, ms] = pace ?? [bytes.length, 0];
  for (let at = 0; at < bytes.length; at += size) {
    response.write(bytes.subarray(at, at + size));
    if (pace) await wait(ms);
  }
}

const sendJson = (response, rule, value, headers = {}) =>
  sendWhole(response, rule, 200, { "content-type": "application/json", ...headers }, JSON.stringify(value));

function sendFailure(response, rule, failure) {
  const named = rule.named ?? "header";
  const headers = { "content-type": "application/json", ...rule.headers };
  const body = { message: failure.message, ...failure.more };
  if (named === "header") headers["x-amzn-errortype"] = `${failure.name}:http://internal.amazon.com/coral/`;
  else body[named] = `com.amazonaws.bedrockagentcore#${failure.name}`;
  const status = rule.status ?? STATUS[failure.name] ?? 400;
  return sendWhole(response, rule, status, headers, JSON.stringify(body));
}

// What a rule adds to an error of its own.
const ruled = (rule) =>
  Object.fromEntries(["reason", "fieldList"].filter((name) => rule[name]).map((name) => [name, rule[name]]));

// Of a rule with error or html.
function sendRuled(response, rule) {
  if (rule.html) return sendWhole(response, rule, rule.html, { "content-type": "text/html", ...rule.headers }, PAGE);
  return sendFailure(response, rule, new Failure(rule.error, rule.message ?? "as the rules say", ruled(rule)));
}

const codec = new EventStreamCodec(
  (bytes) => Buffer.from(bytes).toString(),
  (text) => Buffer.from(text),
);
const text = (value) => ({ type: "string", value });
const frame = (headers, body = "") => Buffer.from(codec.encode({ headers, body: Buffer.from(body) }));
const event = (type, body) =>
  frame({ ":event-type": text(type), ":content-type": text("application/json"), ":message-type": text("event") }, body);
const result = (payload) => event("result", JSON.stringify(payload));
const exception = (member, message, more = {}) =>
  frame(
    { ":exception-type": text(member), ":content-type": text("application/json"), ":message-type": text("exception") },
    JSON.stringify({ message, ...more }),
  );
const errorFrame = ([code, message]) =>
  frame({ ":error-code": text(code), ":error-message": text(message), ":message-type": text("error") });

const EXTRA = {
  "unknown-event": () => event("somethingNew", '{"what":"nobody knows"}'),
  "unknown-type": () => frame({ ":message-type": text("gossip") }, "{}"),
  "no-type": () => frame({ ":event-type": text("result") }, "{}"),
  empty: () => frame({}),
  "all-headers": () =>
    frame({
      ":message-type": text("event"),
      ":event-type": text("everything"),
      true: { type: "boolean", value: true },
      false: { type: "boolean", value: false },
      byte: { type: "byte", value: -1 },
      short: { type: "short", value: -2 },
      integer: { type: "integer", value: -3 },
      long: { type: "long", value: require("@smithy/eventstream-codec").Int64.fromNumber(-4) },
      binary: { type: "binary", value: Buffer.from([0, 255]) },
      timestamp: { type: "timestamp", value: new Date(0) },
      uuid: { type: "uuid", value: "123e4567-e89b-12d3-a456-426614174000" },
    }),
};

const CORRUPT = {
  "prelude-crc": (bytes) => (bytes[8] ^= 1),
  "message-crc": (bytes) => (bytes[bytes.length - 1] ^= 1),
  payload: (bytes) => (bytes[bytes.length - 6] ^= 1),
  length: (bytes) => bytes.writeUInt32BE(bytes.length + 1000, 0),
  short: (bytes) => bytes.writeUInt32BE(15, 0),
  headers: (bytes) => bytes.writeUInt32BE(bytes.length, 4),
};

// The answer to an Invoke. event() sends what there is so far, finish() or fail() the last.
class Stream {
  constructor(response, rule, headers) {
    this.response = response;
    this.rule = rule;
    this.headers = { "content-type": "application/vnd.amazon.eventstream", ...headers };
    this.sending = null; // what was sent before
    this.held = []; // with join
    if (rule.done) this.event = () => {};
  }

  get begun() {
    return this.sending !== null;
  }

  begin() {
    this.sending ??= this.sendFirst();
    return this.sending;
  }

  async sendFirst() {
    await sendHead(this.response, this.rule, 200, this.headers);
    for (const name of this.rule.extra ?? []) await this.write(EXTRA[name]());
    if (this.rule.at === "middle") await this.write(result(BEGUN));
  }

  // In the order of the calls.
  send(bytes) {
    this.sending = this.begin().then(() => this.write(bytes));
    return this.sending;
  }

  async write(bytes) {
    const { response, rule } = this;
    if (gone(response)) return;
    if (rule.join) return void this.held.push(bytes);
    const size = rule.split ?? bytes.length;
    for (let at = 0; at < bytes.length; at += size)
      await writePaced(response, bytes.subarray(at, at + size), rule.pace);
  }

  get replaced() {
    const { rule } = this;
    return rule.empty || rule.result || rule.result_bytes || (rule.at ?? "end") !== "end";
  }

  event(payload) {
    if (!this.replaced) this.send(result(payload));
  }

  finish(payload) {
    const { rule } = this;
    if (rule.empty) return this.end([]);
    if (rule.exception) return this.end(exception(rule.exception, rule.message ?? "as the rules say", ruled(rule)));
    if (rule.error_frame) return this.end(errorFrame(rule.error_frame));
    if (rule.result_bytes) {
      const text = ("x".repeat(63) + "\n").repeat(rule.result_bytes / 64 + 1).slice(0, rule.result_bytes);
      payload = { content: [{ type: "text", text }], isError: false };
    }
    const bytes = result(rule.result ?? payload);
    return this.end(rule.invalid_utf8 ? this.withoutUtf8(payload) : bytes);
  }

  withoutUtf8(payload) {
    const body = Buffer.from(JSON.stringify(payload));
    const at = body.indexOf('"text":"') + '"text":"'.length;
    return event("result", Buffer.concat([body.subarray(0, at), Buffer.from([0xc3, 0x28, 0xff]), body.subarray(at)]));
  }

  fail(failure) {
    const member = failure.name[0].toLowerCase() + failure.name.slice(1);
    return this.end(exception(member, failure.message, failure.more));
  }

  async end(last) {
    const { response, rule } = this;
    if (last.length && rule.corrupt) CORRUPT[rule.corrupt](last);
    const whole = rule.cut !== "in-frame";
    await (last.length ? this.send(whole ? last : last.subarray(0, last.length / 2)) : this.begin());
    if (gone(response)) return;
    if (this.held.length) response.write(Buffer.concat(this.held));
    if (whole) response.end();
    else cut(response, rule);
  }
}

module.exports = { Failure, invalid, Stream, sendJson, sendFailure, sendRuled, cut };
