import packageJson from '../../package.json' with { type: 'json' };

/** The version of this agent, as Hello and `version` name it. */
export const VERSION: string = packageJson.version;
