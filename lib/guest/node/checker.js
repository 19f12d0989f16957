/* The checker: a thread that checks TypeScript cells against those before them and translates them to JavaScript. It
 * keeps TypeScript's language service warm, apart from users' event loop and out of their code's reach.
 *
 * A cell is a module in the working folder. After its text, where places in it stay as they are, stand what later
 * cells may see of it (`export`) and the names of earlier cells that it mentions (`import`; for variables, which may
 * be assigned to, `declare let`). Neither is ever run: a name is looked up when the cell runs, in the one scope that
 * all cells share. */
'use strict';

const { existsSync, readFileSync, realpathSync, writeFileSync } = require('fs');
const Module = require('module');
const path = require('path');
const vm = require('vm');
const { collect } = require('./library.js');
const { workerData } = require('worker_threads');

const { port } = workerData;
const modules = realpathSync(workerData.modules);
const ts = load(path.join(modules, 'typescript', 'lib', 'typescript.js'));

/* With the code that an earlier run has compiled, where `prepare.js` has kept it: half the time. */
function load(file) {
    const cache = `${__dirname}/typescript.cache`;
    const wrapped = Module.wrap(readFileSync(file, 'utf8'));
    const script = new vm.Script(wrapped, {
        filename: file,
        cachedData: existsSync(cache) ? readFileSync(cache) : undefined,
    });
    const module = { exports: {} };
    script.runInThisContext()(module.exports, Module.createRequire(file), module, file, path.dirname(file));
    if (workerData.keep)
        process.once('exit', () => writeFileSync(cache, script.createCachedData()));
    return module.exports;
}

const { SyntaxKind: Kind } = ts;
const library = collect(path.join(modules, 'typescript', 'lib'), path.join(modules, '@types', 'node'));
const OPTIONS = {
    target: ts.ScriptTarget.ES2022,
    noLib: true, // see library.js
    types: [],
    module: ts.ModuleKind.Preserve,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    moduleDetection: ts.ModuleDetectionKind.Force,
    allowImportingTsExtensions: true,
    strict: true,
    noImplicitAny: false,
    allowJs: true,
    checkJs: false,
    esModuleInterop: true,
    resolveJsonModule: true,
    skipLibCheck: true,
    preserveConstEnums: true,
    sourceMap: true,
    newLine: ts.NewLineKind.LineFeed,
    outDir: '/',
};

/* --- names -------------------------------------------------------------------------------------------------------- */

const WHOLE = 'import'; // what the name stands for is never assigned to: value, type and namespace at once
const VARIABLE = 'variable';
const ANY = 'any'; // JavaScript has made it without a declaration

function addPattern(name, how, found) {
    if (ts.isIdentifier(name))
        found.set(name.text, how);
    else
        name.elements.forEach((element) => element.name && addPattern(element.name, how, found));
}

function addImport(clause, found) {
    if (clause?.name)
        found.set(clause.name.text, WHOLE);
    const bindings = clause?.namedBindings;
    if (bindings !== undefined)
        for (const { name } of ts.isNamespaceImport(bindings) ? [bindings] : bindings.elements)
            found.set(name.text, WHOLE);
}

/* `var` within blocks of the cell. */
function addNestedVariables(node, found) {
    if (ts.isFunctionLike(node) || ts.isClassLike(node) || ts.isModuleDeclaration(node))
        return;
    if (ts.isVariableDeclarationList(node) && !(node.flags & ts.NodeFlags.BlockScoped))
        node.declarations.forEach(({ name }) => addPattern(name, VARIABLE, found));
    ts.forEachChild(node, (child) => addNestedVariables(child, found));
}

/* The names that a cell declares at its top level, each with how later cells get it. */
function declaredNames(file) {
    const found = new Map();
    for (const statement of file.statements) {
        switch (statement.kind) {
        case Kind.VariableStatement: {
            const { declarationList } = statement;
            const how = declarationList.flags & ts.NodeFlags.Const ? WHOLE : VARIABLE;
            declarationList.declarations.forEach(({ name }) => addPattern(name, how, found));
            break;
        }
        case Kind.FunctionDeclaration:
        case Kind.ClassDeclaration:
        case Kind.EnumDeclaration:
        case Kind.InterfaceDeclaration:
        case Kind.TypeAliasDeclaration:
        case Kind.ImportEqualsDeclaration:
            if (statement.name)
                found.set(statement.name.text, WHOLE);
            break;
        case Kind.ModuleDeclaration:
            if (ts.isIdentifier(statement.name) && !(statement.flags & ts.NodeFlags.GlobalAugmentation))
                found.set(statement.name.text, WHOLE);
            break;
        case Kind.ImportDeclaration:
            addImport(statement.importClause, found);
            break;
        default:
            addNestedVariables(statement, found);
        }
    }
    return found;
}

/* Names that the cell exports itself cannot be exported again. */
function exportedNames(file) {
    const found = new Set();
    for (const statement of file.statements) {
        if (ts.isExportDeclaration(statement) && statement.exportClause && ts.isNamedExports(statement.exportClause))
            statement.exportClause.elements.forEach(({ name }) => found.add(name.text));
        else if (ts.canHaveModifiers(statement) &&
            ts.getModifiers(statement)?.some(({ kind }) => kind === Kind.ExportKeyword) &&
            !ts.getModifiers(statement).some(({ kind }) => kind === Kind.DefaultKeyword)) {
            if (statement.name)
                found.add(statement.name.text);
            for (const { name } of statement.declarationList?.declarations ?? [])
                addPattern(name, WHOLE, { set: (text) => found.add(text) });
        }
    }
    return found;
}

/* `x = 1` at the top level of a cell of JavaScript. */
function assignedNames(file) {
    const found = [];
    const visit = (node) => {
        if (ts.isFunctionLike(node) || ts.isClassLike(node))
            return;
        if (ts.isBinaryExpression(node) && node.operatorToken.kind === Kind.EqualsToken && ts.isIdentifier(node.left))
            found.push(node.left.text);
        ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
}

function mentionedNames(file) {
    const found = new Set();
    const visit = (node) => {
        if (ts.isIdentifier(node))
            found.add(node.text);
        ts.forEachChild(node, visit);
    };
    visit(file);
    return found;
}

/* --- the service's view of files ---------------------------------------------------------------------------------- */

const texts = new Map(library.texts); // of cells, with what stands after them
const snapshots = new Map(); // of all others: {version, snapshot}
let roots = [];
let folder = process.cwd();

/* Files of users may change; TypeScript's own do not. */
function versionOf(name) {
    if (texts.has(name) || name.startsWith(modules))
        return '1';
    const modified = ts.sys.getModifiedTime(name);
    return modified === undefined ? '0' : String(modified.getTime());
}

function snapshotOf(name) {
    const version = versionOf(name);
    const known = snapshots.get(name);
    if (known !== undefined && known.version === version)
        return known.snapshot;
    const text = texts.get(name) ?? ts.sys.readFile(name);
    if (text === undefined)
        return undefined;
    const snapshot = ts.ScriptSnapshot.fromString(text);
    snapshots.set(name, { version, snapshot });
    return snapshot;
}

/* Where modules are that a file mentions. Among TypeScript's own files, which are most, that never changes; looking
 * it up for every cell would take longer than the check. */
function remembering(resolve) {
    const found = new Map();
    return (literals, containing, redirected, options, file) => literals.map((literal) => {
        const text = typeof literal === 'string' ? literal : literal.text ?? literal.fileName;
        const key = containing.startsWith(modules) ? `${containing}\0${text}` : undefined;
        const known = key !== undefined ? found.get(key) : undefined;
        if (known !== undefined)
            return known;
        const answer = resolve(text, containing, redirected, options, file);
        if (key !== undefined)
            found.set(key, answer);
        return answer;
    });
}

const packages = ts.createModuleResolutionCache(modules, (name) => name, OPTIONS);
const resolveModules = remembering((name, containing, redirected, options) =>
    ts.resolveModuleName(name, containing, options, host, undefined, redirected));
/* Packages refer to Node's types, which are there already. */
const nodeTypes = { resolvedTypeReferenceDirective: { primary: true, resolvedFileName: library.roots[0] } };
const resolveTypes = remembering((name, containing, redirected, options) => name === 'node' ? nodeTypes :
    ts.resolveTypeReferenceDirective(name, containing, options, host, redirected));

/* Takes away what stands after a cell's text, before anything is generated of it. */
const cutSuffix = () => (file) => {
    const end = ends.get(file.fileName);
    return end === undefined ? file :
        ts.factory.updateSourceFile(file, file.statements.filter((statement) => statement.pos < end));
};

const ends = new Map(); // of cells: where their text ends
const host = {
    getCompilationSettings: () => OPTIONS,
    getScriptFileNames: () => roots,
    getScriptVersion: versionOf,
    getScriptSnapshot: snapshotOf,
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: (options) => ts.getDefaultLibFilePath(options),
    fileExists: (name) => texts.has(name) || ts.sys.fileExists(name),
    readFile: (name) => texts.get(name) ?? ts.sys.readFile(name),
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: ts.sys.realpath,
    useCaseSensitiveFileNames: () => true,
    jsDocParsingMode: ts.JSDocParsingMode.ParseForTypeErrors,
    getCustomTransformers: () => ({ before: [cutSuffix] }),
    getModuleResolutionCache: () => packages, // of package.json files, for the formats of modules
    resolveModuleNameLiterals: resolveModules,
    resolveTypeReferenceDirectiveReferences: resolveTypes,
};
const service = ts.createLanguageService(host);

/* --- cells -------------------------------------------------------------------------------------------------------- */

const scope = new Map(); // name: {how, cell (its module's path without suffix)}

function suffix(file) {
    const declared = declaredNames(file);
    const exported = exportedNames(file);
    const own = [...declared.keys()].filter((name) => !exported.has(name));
    let text = `\nexport { ${own.join(', ')} };`;
    for (const name of mentionedNames(file)) {
        const known = scope.get(name);
        if (known === undefined || declared.has(name))
            continue;
        const from = JSON.stringify(known.cell);
        text += known.how === WHOLE ? `\nimport { ${name} } from ${from};` :
            known.how === VARIABLE ? `\ndeclare let ${name}: typeof import(${from}).${name};` :
            `\ndeclare let ${name}: any;`;
    }
    return { text, declared };
}

/* Adds a cell to the files; what it declares comes into scope with accept(). */
function add({ number, text, cwd }, extension) {
    folder = cwd;
    const cell = path.join(cwd, `__cell_${number}`);
    const name = `${cell}${extension}`;
    const file = ts.createSourceFile(name, text, OPTIONS.target, true);
    const after = suffix(file);
    texts.set(name, text + after.text);
    ends.set(name, text.length);
    const accept = () => after.declared.forEach((how, declared) => scope.set(declared, { how, cell }));
    return { name, file, accept };
}

function learn(cell) {
    const { file, accept } = add(cell, '.js');
    if (file.parseDiagnostics.length > 0)
        return;
    assignedNames(file).filter((name) => !scope.has(name)).forEach((name) => scope.set(name, { how: ANY }));
    accept();
}

function toDiagnostic({ file, start, code, messageText }) {
    const place = file !== undefined ? ts.getLineAndCharacterOfPosition(file, start) : { line: 0, character: 0 };
    return {
        code,
        line: place.line + 1,
        column: place.character + 1,
        message: ts.flattenDiagnosticMessageText(messageText, '\n'),
    };
}

function translate(cell) {
    const { name, file, accept } = add(cell, '.ts');
    const isOwn = ({ start, category }) => category === ts.DiagnosticCategory.Error && (start ?? 0) <= ends.get(name);
    roots = [...library.roots, name];
    let found = file.parseDiagnostics; // of the text alone: it may be open at its end
    if (found.length === 0 && cell.check)
        found = service.getSemanticDiagnostics(name).filter(isOwn);
    if (found.length > 0) {
        texts.delete(name);
        return { number: cell.number, diagnostics: found.map(toDiagnostic) };
    }
    const { outputFiles } = service.getEmitOutput(name);
    accept();
    const output = (extension) => outputFiles.find((file) => file.name.endsWith(extension))?.text;
    const source = (output('.js') ?? '').replace(/\n?\/\/# sourceMappingURL=.*\n?$/, '');
    return { number: cell.number, source, map: output('.map') };
}

/* All that is slow the first time: what cells use most of the library, of Node's types and of the language. */
const TYPICAL = `import { readFileSync } from 'fs';
interface Row { name: string; value: number }
const rows: Row[] = [1, 2].map((n) => ({ name: \`\${n}\`, value: n }));
const byName = new Map(rows.map((row) => [row.name, row] as const));
async function load(file: string): Promise<string[]> { return readFileSync(file, 'utf8').split('\\n'); }
console.log(Object.entries(process.env).length, rows.reduce((sum, { value }) => sum + value, 0), byName);
`;

function warmUp() {
    translate({ number: 0, text: TYPICAL, cwd: process.cwd(), check: true });
    texts.delete(path.join(process.cwd(), '__cell_0.ts'));
    scope.clear();
    port?.postMessage(JSON.stringify({ warm: true }));
}

port?.on('message', (cell) => {
    if (cell.kind === 'learn')
        learn(cell);
    else
        port.postMessage(JSON.stringify(translate(cell)));
});
if (workerData.warm)
    warmUp();
