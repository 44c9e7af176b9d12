// The version of Reelqueue that the API names.

export const VERSION = '0.1.0'
