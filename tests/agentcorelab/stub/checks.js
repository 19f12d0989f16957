// What the service's model says of each member, as checks that throw a ValidationException naming the field.
const { invalid } = require("./answer.js");

const text =
  (least, most, pattern = /^[^]*$/) =>
  (value) =>
    typeof value !== "string"
      ? "must be a string"
      : value.length < least || value.length > most
        ? `must have a length between ${least} and ${most}`
        : pattern.test(value)
          ? null
          : `must satisfy ${pattern.source}`;
const integer = (least, most) => (value) =>
  Number.isInteger(value) && value >= least && value <= most ? null : `must be an integer between ${least} and ${most}`;
const boolean = (value) => (typeof value === "boolean" ? null : "must be true or false");
const oneOf =
  (...names) =>
  (value) =>
    names.includes(value) ? null : `must be one of ${names.join(", ")}`;
const bytes = (value) =>
  typeof value === "string" && Buffer.from(value, "base64").toString("base64") === value
    ? null
    : "must be padded base64";
const list = (least, most, check) => (value) =>
  !Array.isArray(value) || value.length < least || value.length > most
    ? `must be a list of ${least} to ${most}`
    : (value.map(check).find((message) => message !== null) ?? null);
const structure = (shape) => (value) =>
  typeof value === "object" && !Array.isArray(value) ? faults(shape, value) : "must be an object";
const anything = () => null;

const TEXT = text(0, 100e6);
const TOKEN = text(33, 256, /^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}$/);
const SESSION = text(1, 40, /^[0-9a-zA-Z]{1,40}$/);
const STATUS = oneOf("READY", "TERMINATED");
const TOOLS =
  "executeCode executeCommand readFiles listFiles removeFiles writeFiles startCommandExecution getTask stopTask";

const SHAPES = {
  Start: {
    name: text(1, 100),
    sessionTimeoutSeconds: integer(1, 28800),
    clientToken: TOKEN,
    certificates: list(1, 200, anything),
    filesystemConfigurations: list(0, 10, anything),
  },
  Stop: { clientToken: TOKEN },
  List: { maxResults: integer(1, 100), nextToken: text(1, 2048, /^\S*$/), status: STATUS },
  Invoke: {
    name: oneOf(...TOOLS.split(" ")),
    arguments: structure({
      code: TEXT,
      language: oneOf("python", "javascript", "typescript"),
      runtime: oneOf("python", "nodejs", "deno"),
      clearContext: boolean,
      command: TEXT,
      path: TEXT,
      directoryPath: TEXT,
      paths: list(0, Infinity, TEXT),
      content: list(0, Infinity, (block) =>
        typeof block?.path === "string"
          ? structure({ path: TEXT, text: TEXT, blob: bytes })(block)
          : "path is required",
      ),
      taskId: TEXT,
    }),
  },
};

// What is wrong with the first member that has something wrong, or null. Unknown members are passed over, as by the service.
function faults(shape, value) {
  for (const [name, check] of Object.entries(shape)) {
    const message = name in value ? (value[name] === null ? "must not be null" : check(value[name])) : null;
    if (message) return `${name}: ${message}`;
  }
  return null;
}

function checkBody(operation, body) {
  const fault = structure(SHAPES[operation])(body);
  if (!fault) return;
  const [field, ...rest] = fault.split(": ");
  throw invalid(rest.length > 1 ? `${field}.${rest[0]}` : field, rest.at(-1) ?? fault);
}

function checkSession(id) {
  if (id === undefined) throw invalid("sessionId", "is required");
  const message = SESSION(id);
  if (message) throw invalid("sessionId", message);
}

function checkTrace(headers) {
  for (const name of ["x-amzn-trace-id", "traceparent"])
    if (headers[name]?.length > 1024) throw invalid(name, "must have a length of at most 1024");
}

module.exports = { checkBody, checkSession, checkTrace };
