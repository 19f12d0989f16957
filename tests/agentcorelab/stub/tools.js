// The tools. Each gets a call (invoke.js) and returns the payload of its last result, in the shape of the manner.
const { randomUUID } = require("node:crypto");
const { invalid } = require("./answer.js");

const TERMINAL_LINE = 128 << 10; // a longer one hangs the real service's terminal

// A failure that is a result with a text alone.
class ToolError extends Error {}

const textBlock = (text) => ({ type: "text", text });
const said = (text, isError = false) => ({ content: [textBlock(text)], isError });

// Paths are below the session's folder, whatever they begin with.
function relative(path) {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new ToolError(`Invalid path: ${path}`);
  return parts.join("/") || ".";
}

// In plain a URI is one; the service's is taken for no more than it was seen as.
const uriOf = (manner, path) =>
  `file:///${manner === "plain" ? path.split("/").map(encodeURIComponent).join("/") : path}`;

function need(args, ...names) {
  for (const name of names) if (args[name] === undefined) throw new ToolError(`${name} is required`);
}

// What a run is told as. In plain, what was printed has gone out before.
function executed({ manner, printed, code }, done) {
  if (done.refused) throw new ToolError(done.refused);
  const { exitCode, executionTime } = done;
  if (manner === "plain") {
    const images = done.images.map((image) => ({ type: "image", ...image }));
    const content = done.traceback ? [textBlock(done.traceback), ...images] : images;
    return {
      content,
      structuredContent: { stdout: "", stderr: done.traceback, exitCode, executionTime },
      isError: !done.ok,
    };
  }
  const [stdout, stderr] = code
    ? [printed.stdout.replace(/\n$/, ""), printed.stderr + done.traceback]
    : onTerminal(printed.stdout, exitCode);
  return {
    content: [textBlock(done.ok ? stdout : stderr || stdout)],
    structuredContent: { stdout, stderr, exitCode, executionTime },
    isError: code ? !done.ok : false,
  };
}

// A terminal has one stream, which the service tells as stdout or as stderr.
function onTerminal(text, exitCode) {
  const lines = text.replaceAll("\n", "\r\n");
  return exitCode === 0 ? [lines, ""] : ["", lines];
}

async function executeCode(call) {
  need(call.args, "code");
  const { code, language = "python", clearContext = false } = call.args;
  const runtime = call.args.runtime ?? (language === "python" ? "python" : "deno");
  if ((language === "python") !== (runtime === "python"))
    throw invalid("arguments.runtime", `${runtime} does not run ${language}`);
  if (runtime === "deno") throw invalid("arguments.runtime", "deno is not available here; nodejs is");
  const clear = clearContext && language === "python";
  return executed({ ...call, code: true }, await call.run("run_code", { code, language, clear }));
}

async function executeCommand(call) {
  need(call.args, "command");
  const { command } = call.args;
  const terminal = call.manner === "captured";
  if (terminal && Buffer.byteLength(command) > TERMINAL_LINE) await new Promise(() => {});
  return executed(call, await call.run("run_command", { command, terminal }));
}

async function readFiles({ args, manner, ask }) {
  need(args, "paths");
  const { files } = await ask("read_files", { paths: args.paths.map(relative) });
  const content = files.map(({ path, mimeType, text, blob }) => {
    const [type, data] = text === undefined ? ["blob", { blob }] : ["text", { text }];
    const resource = { uri: uriOf(manner, path), mimeType, ...data };
    return { type: "resource", resource: manner === "plain" ? { type, ...resource } : resource };
  });
  return { content, isError: false };
}

async function writeFiles({ args, ask }) {
  need(args, "content");
  const files = args.content.map((block) => ({ ...block, path: relative(block.path) }));
  for (const { path, text, blob } of files)
    if ((text === undefined) === (blob === undefined)) throw new ToolError(`${path}: one of text and blob is required`);
  await ask("write_files", { files });
  return said(`Successfully wrote all ${files.length} files`);
}

async function listFiles({ args, manner, ask }) {
  const folder = relative(args.directoryPath ?? args.path ?? "");
  const { entries } = await ask("list_files", { path: folder });
  const content = entries.map(({ name, folder: isFolder, size, mimeType }) => {
    const path = folder === "." ? name : `${folder}/${name}`;
    const link = { type: "resource_link", uri: uriOf(manner, path), description: isFolder ? "Directory" : "File" };
    if (manner === "plain")
      return { ...link, name, mimeType: isFolder ? "inode/directory" : mimeType, size: isFolder ? 0 : size };
    return { ...link, name: path, ...(!isFolder && { mimeType }) };
  });
  return { content: manner === "plain" ? content : content.reverse(), isError: false };
}

async function removeFiles({ args, ask }) {
  need(args, "paths");
  await ask("remove_files", { paths: args.paths.map(relative) });
  return said(`Successfully removed all ${args.paths.length} files`);
}

async function startCommandExecution({ args, session, ask }) {
  need(args, "command");
  const { task } = await ask("start_task", { command: args.command });
  const taskId = randomUUID();
  session.tasks.set(taskId, task);
  return {
    ...said("Successfully started a command execution task"),
    structuredContent: { taskId, taskStatus: "submitted", stdout: "", stderr: "" },
  };
}

async function onTask({ args, session, ask }, operation) {
  need(args, "taskId");
  if (!session.tasks.has(args.taskId)) throw new ToolError(`Task not found: ${args.taskId}`);
  return ask(operation, { task: session.tasks.get(args.taskId) });
}

async function getTask(call) {
  const { status, stdout, stderr, exitCode } = await onTask(call, "poll_task");
  const more = call.manner === "plain" && { taskId: call.args.taskId, ...(status !== "working" && { exitCode }) };
  return { ...said(`Task is ${status}`), structuredContent: { taskStatus: status, stdout, stderr, ...more } };
}

async function stopTask(call) {
  const { status, stdout, stderr } = await onTask(call, "stop_task");
  const payload = said("Successfully canceled a command execution task");
  if (call.manner === "captured") return payload;
  return { ...payload, structuredContent: { taskId: call.args.taskId, taskStatus: status, stdout, stderr } };
}

const TOOLS = {
  executeCode,
  executeCommand,
  readFiles,
  writeFiles,
  listFiles,
  removeFiles,
  startCommandExecution,
  getTask,
  stopTask,
};

module.exports = { TOOLS, ToolError, said, textBlock };
