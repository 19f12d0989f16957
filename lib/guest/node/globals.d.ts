/* What cells find beside Node's own globals: see display.js. */
declare const display: {
    (...values: unknown[]): void;
    html(data: string): void;
    markdown(data: string): void;
    latex(data: string): void;
    svg(data: string): void;
    png(data: string | ArrayBuffer | ArrayBufferView): void;
    jpeg(data: string | ArrayBuffer | ArrayBufferView): void;
    json(data: unknown): void;
};
