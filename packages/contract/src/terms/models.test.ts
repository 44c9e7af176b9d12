import { expect, test } from 'vitest'
import { findModel, isModelName, models, sizeOfAspectRatio } from './models.ts'

test('every aspect ratio stands for a size its model allows', () => {
  for (const model of Object.values(models)) {
    for (const ratio of Object.keys(model.aspectRatios)) {
      expect(model.sizes).toContain(sizeOfAspectRatio(model, ratio))
    }
  }
})

test.each(['constructor', '__proto__', 'opensora', ''])('%j is no model and no aspect ratio', (name) => {
  expect(isModelName(name)).toBe(false)
  expect(findModel(name)).toBeNull()
  expect(sizeOfAspectRatio(models.openAiSora2Pro, name)).toBeNull()
})
