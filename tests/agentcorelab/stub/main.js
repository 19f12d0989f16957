// The stub: main.js CONFIG. Listens on loopback, keeps the log, and sends each request where it belongs (README.md).
//
// CONFIG is JSON: ports {http, https}, tls {key, cert}: files, region, keys (signature.js), manner, engine:
// its command.
const { randomUUID } = require("node:crypto");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { Failure, cut, sendFailure, sendJson, sendRuled } = require("./answer.js");
const { checkTrace } = require("./checks.js");
const { Engine } = require("./engine.js");
const { invoke } = require("./invoke.js");
const { Service } = require("./service.js");
const { verify } = require("./signature.js");

const PAYLOAD = 100e6;
const LOGGED = 1 << 20;
const OPERATIONS = {
  "PUT sessions/start": "Start",
  "POST tools/invoke": "Invoke",
  "PUT sessions/stop": "Stop",
  "GET sessions/get": "Get",
  "POST sessions/list": "List",
};

const config = JSON.parse(readFileSync(process.argv[2]));
const DEFAULTS = { manner: config.manner, clock_ms: 0, invokes: 10, quota: 1000 };
const settings = { ...DEFAULTS };
const engine = new Engine(config.engine);
const service = new Service(engine, settings);
const connections = { opened: 0, open: 0 };
let rules = [];
let log = [];

async function bodyOf(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

// What was asked for; operation is undefined where there is no such thing. By the target as it came: nothing of it is normalised.
function routeOf({ method, url }) {
  const [, path, query = ""] = /^([^?]*)\??(.*)$/.exec(url);
  const [, label, rest] = /^\/code-interpreters\/([^/]+)\/(.+)$/.exec(path) ?? [];
  return { path, query, label, operation: OPERATIONS[`${method} ${rest}`] };
}

function decode(label) {
  try {
    return decodeURIComponent(label);
  } catch {
    throw new Failure("ValidationException", "The path is not well encoded", { reason: "CannotParse" });
  }
}

function parse(body) {
  try {
    return body.length ? JSON.parse(body) : {};
  } catch {
    throw new Failure("ValidationException", "The body is no JSON", { reason: "CannotParse" });
  }
}

function takeRule(operation, tool) {
  const fits = (rule) => [undefined, operation].includes(rule.operation) && [undefined, tool].includes(rule.tool);
  const rule = rules.find(fits);
  if (rule?.times && --rule.times === 0) rules = rules.filter((one) => one !== rule);
  return rule ?? {};
}

// The number of the connection that a request of the service came by.
function connectionOf(socket) {
  if (!socket.number) {
    socket.number = ++connections.opened;
    connections.open++;
    socket.once("close", () => connections.open--);
  }
  return socket.number;
}

async function serve(request, response, raw) {
  const route = routeOf(request);
  const entry = {
    connection: connectionOf(request.socket),
    tls: Boolean(request.socket.encrypted),
    method: request.method,
    target: request.url,
    headers: Array.from({ length: request.rawHeaders.length / 2 }, (_, i) =>
      request.rawHeaders.slice(2 * i, 2 * i + 2),
    ),
    body: raw.length > LOGGED ? null : raw.toString("base64"),
    bytes: raw.length,
    operation: route.operation,
  };
  log.push(entry);
  const begun = performance.now();
  response.on("close", () => {
    entry.status = response.headersSent ? response.statusCode : null;
    entry.ms = performance.now() - begun;
  });
  response.setHeader("x-amzn-requestid", randomUUID());
  response.setHeader("date", service.now().toUTCString());
  let rule = {};
  try {
    if (!route.operation)
      throw new Failure("UnknownOperationException", `there is no ${request.method} ${request.url}`);
    const { method, headers } = request;
    const { path, query } = route;
    await verify(
      { method, path, query, headers, body: raw },
      { keys: config.keys, region: config.region, now: service.now() },
    );
    if (raw.length > PAYLOAD) throw new Failure("ValidationException", `the request has more than ${PAYLOAD} bytes`);
    checkTrace(headers);
    const interpreter = service.interpreter(decode(route.label));
    const asked = {
      operation: route.operation,
      query: new URLSearchParams(query),
      headers,
      interpreter,
      body: parse(raw),
    };
    entry.tool = route.operation === "Invoke" ? asked.body?.name : undefined;
    rule = takeRule(route.operation, entry.tool);
    await carryOut(asked, response, rule);
  } catch (error) {
    const failure = error instanceof Failure ? error : new Failure("InternalServerException", String(error.stack));
    if (response.headersSent) response.destroy();
    else await sendFailure(response, rule.done ? {} : rule, failure);
  }
}

async function carryOut(asked, response, rule) {
  const { operation, interpreter, query, headers } = asked;
  if (rule.expire) {
    const id = operation === "Invoke" ? headers["x-amzn-code-interpreter-session-id"] : query.get("sessionId");
    await service.terminate(service.ready(interpreter, id));
  }
  const instead = rule.error || rule.html;
  if (rule.cut === "before-head" && !rule.done) return cut(response, rule);
  if (instead && !rule.done) return sendRuled(response, rule);
  const answer =
    operation === "Invoke" ? await invoke(service, asked, response, rule) : await service[operation](asked);
  if (instead) return sendRuled(response, rule);
  if (operation !== "Invoke") return sendJson(response, rule, answer);
  if (rule.done) return cut(response, rule);
}

const CONTROL = {
  "GET rules": () => rules,
  "PUT rules": (given) => ((rules = given.map((rule) => ({ times: 1, ...rule }))), {}),
  "PUT settings": (given) => Object.assign(settings, given),
  "GET log": () => log,
  "DELETE log": () => ((log = []), {}),
  "GET connections": () => connections,
  "POST reset": async () => {
    [rules, log] = [[], []];
    Object.assign(settings, DEFAULTS);
    await service.reset();
    return {};
  },
};

async function control(request, response, raw) {
  const answer = CONTROL[`${request.method} ${request.url.slice("/_stub/".length)}`];
  if (!answer) return sendFailure(response, {}, new Failure("UnknownOperationException", "no such control request"));
  await sendJson(response, {}, await answer(raw.length ? JSON.parse(raw) : undefined));
}

async function handle(request, response) {
  const raw = await bodyOf(request);
  await (request.url.startsWith("/_stub/") ? control : serve)(request, response, raw);
}

function listen(server, port) {
  server.on("request", (request, response) =>
    handle(request, response).catch((error) => {
      console.error(error);
      request.socket.destroy();
    }),
  );
  // A call may take as long as it likes, and a connection may wait for the next as long as the tests do.
  Object.assign(server, { keepAliveTimeout: 0, requestTimeout: 0 });
  server.on("connection", (socket) => socket.setNoDelay(true));
  server.listen(port, "127.0.0.1");
}

engine.ask("", "prepare").then(() => {
  const { key, cert } = config.tls;
  // The last to listen is the one that is asked whether all is ready.
  listen(https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }), config.ports.https);
  listen(http.createServer(), config.ports.http);
});
