export declare const BUILDS: string
export declare const SOURCES: string
export declare function stampOf(sources: Iterable<readonly [path: string, contents: Uint8Array]>): string
export declare function currentBundle(root: string, command: string): string | null
