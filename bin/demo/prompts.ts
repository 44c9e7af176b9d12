// The sample batch: a dozen varied requests, two of them with temporary faults at the provider.

export const ITEMS = [
  { prompt: 'A paper boat crosses a rain puddle at dusk, macro lens', seconds: 4 },
  { prompt: 'Slow dolly through a greenhouse full of orchids, morning mist', seconds: 8, aspect_ratio: '16:9' },
  { prompt: 'A red fox leaps through fresh snow, 120 fps look', seconds: 4, size: '1280x720' },
  { prompt: 'Espresso pours into a glass cup, studio light, product shot', seconds: 4, size: '720x1280' },
  { prompt: 'A lighthouse in a storm, waves break over the rocks', seconds: 12, aspect_ratio: '16:9' },
  { prompt: 'Origami cranes unfold by themselves, stop motion', seconds: 8 },
  {
    prompt: 'Night market in the rain, neon reflections, handheld',
    seconds: 8,
    model: 'openAiSora2Pro',
    size: '1280x720',
  },
  { prompt: 'A sneaker rotates above a mirror, seamless loop', seconds: 4, aspect_ratio: '9:16' },
  { prompt: 'Drone shot over terraced rice fields at sunrise', duration: 8, size: '1280x720', priority: 10 },
  { prompt: 'A clockmaker sets the last gear of a tiny mechanism', duration: 4, model: 'openAiSora2Pro' },
  { prompt: '(429 twice) A hot-air balloon lifts off [sim:429=2]', seconds: 4 },
  { prompt: '(two failed polls) Ink in clear water [sim:poll500=2]', seconds: 4 },
] as const

export const DEFAULTS = { model: 'openAiSora2Plus' }
