// InvokeCodeInterpreter: from the check of a request to the end of its stream.
const { Failure, invalid, Stream } = require("./answer.js");
const { checkBody } = require("./checks.js");
const { EngineError } = require("./engine.js");
const { TOOLS, ToolError, said, textBlock } = require("./tools.js");

const SESSION_HEADER = "x-amzn-code-interpreter-session-id";

// A call of a tool, as tools.js sees it.
function makeCall(service, session, args, stream) {
  const { manner } = service.settings;
  const printed = { stdout: "", stderr: "" };
  const ask = (op, members, output) => service.engine.ask(session.id, op, members, output);
  const tell = (name, text) =>
    stream.event({
      content: [textBlock(text)],
      structuredContent: { stdout: "", stderr: "", [name]: text },
      isError: false,
    });
  const keep = (name, text) => (printed[name] += text);
  return {
    args,
    manner,
    session,
    printed,
    ask,
    run: (op, members) => ask(op, members, manner === "plain" ? tell : keep),
  };
}

// A Failure that the service tells instead of a result; what a tool could not do is a result.
function payloadOf(error) {
  if (error instanceof ToolError) return said(error.message, true);
  if (!(error instanceof EngineError)) throw error;
  if (error.kind === "Closed") throw new Failure("ResourceNotFoundException", "The session is not active");
  return said(error.message, true);
}

async function invoke(service, { interpreter, headers, body }, response, rule) {
  checkBody("Invoke", body);
  if (body.name === undefined) throw invalid("name", "is required");
  const session = service.ready(interpreter, headers[SESSION_HEADER]);
  if (session.invokes >= service.settings.invokes)
    throw new Failure("ServiceQuotaExceededException", `There are ${session.invokes} calls on the session already`);
  const stream = new Stream(response, rule, { [SESSION_HEADER]: session.id });
  const call = makeCall(service, session, body.arguments ?? {}, stream);
  session.invokes++;
  try {
    const work = TOOLS[body.name](call).catch(payloadOf);
    // What is wrong with the request is told before the head, which goes out while the tool works.
    await Promise.race([work, new Promise(setImmediate)]);
    if (service.settings.manner === "plain" && !rule.done) stream.begin();
    const payload = await work;
    if (!rule.done) await stream.finish(payload);
  } catch (error) {
    if (!stream.begun || !(error instanceof Failure)) throw error;
    await stream.fail(error);
  } finally {
    session.invokes--;
  }
}

module.exports = { invoke };
