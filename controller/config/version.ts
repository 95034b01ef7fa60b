import packageJson from '../../package.json' with { type: 'json' };

/** The version of this kk, as the agent package and `version` name it. */
export const VERSION: string = packageJson.version;

/** The digest of the package that runs, which packaging writes here; empty: it runs from its sources. */
export const BUILD: string = '';

/** With each answer of the operator API: the build that gives it. */
export const BUILD_HEADER = 'kk-build';
