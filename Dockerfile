# One image for every container of a node, and one for etcd, from one base.
#
# Written for the classic builder as well as for BuildKit: no RUN --mount, no heredocs. The stages stand in the order in
# which the classic builder needs them: it builds everything above the target that is asked for.

FROM node:24-bookworm-slim AS etcd
RUN apt-get update \
 && apt-get install -y --no-install-recommends etcd-server etcd-client \
 && rm -rf /var/lib/apt/lists/*
ENV ETCDCTL_API=3
USER node
CMD ["etcd"]

FROM node:24-bookworm-slim AS build
# node-tuntap2 is compiled at installation. It is optional: without it only that one tunnel driver is lost.
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ make python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /gingham
COPY package.json package-lock.json ./
# The compiler finds Node's headers in the image instead of downloading them, and the addon is not fetched prebuilt.
RUN npm_config_nodedir=/usr/local npm_config_build_from_source=true npm ci --no-audit --no-fund --loglevel=error
COPY . .
RUN npm run build && npm prune --omit=dev --no-audit --no-fund --loglevel=error

FROM node:24-bookworm-slim AS gingham
# ip and ping: what `gingham node` makes its pod with and `gingham ping` sends. The daemons need neither.
RUN apt-get update \
 && apt-get install -y --no-install-recommends iproute2 iputils-ping nftables \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /gingham
COPY --from=build /gingham/package.json ./
COPY --from=build /gingham/node_modules ./node_modules
COPY --from=build /gingham/dist ./dist
# Each daemon by its name; `gingham` is the command for people.
RUN for name in flanneld bgpd felix ctl; do \
      command=$(echo "$name" | sed s/ctl/gingham/); \
      printf '#!/bin/sh\nexec node /gingham/dist/%s/main.js "$@"\n' "$name" > "/usr/local/bin/$command"; \
      chmod 755 "/usr/local/bin/$command"; \
    done
ENV NODE_ENV=production
CMD ["gingham", "--help"]
