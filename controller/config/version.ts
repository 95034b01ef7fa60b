import packageJson from '../../package.json' with { type: 'json' };

/** The version of this kk, as the agent package and `version` name it. */
export const VERSION: string = packageJson.version;
