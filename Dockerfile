# The two images: `docker build --target orion .` and `docker build --target orion-operator .` (make images). Without Docker
# e2e/image makes the same: one program with the libraries that it names and the certificates of public authorities.
#
# No shell, no package manager; a user of its own (65532), and nothing is written but its disk and /tmp.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    dataplane/dist --bin orion-operator \
    && for program in orion orion-operator; do \
         root=/out/$program; \
         install -D --strip target/dist/$program $root/usr/bin/$program; \
         for library in $(ldd target/dist/$program | grep -oE '/[^ ]+'); do install -D $library $root$library; done; \
         install -D --mode=644 /etc/ssl/certs/ca-certificates.crt $root/etc/ssl/certs/ca-certificates.crt; \
         install --directory --mode=1777 $root/tmp; \
         echo 'hosts: files dns' >$root/etc/nsswitch.conf; \
         echo 'orion:x:65532:65532::/:/' >$root/etc/passwd; \
         echo 'orion:x:65532:' >$root/etc/group; \
       done

FROM scratch AS orion
COPY --from=build /out/orion/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/orion"]

FROM scratch AS orion-operator
COPY --from=build /out/orion-operator/ /
USER 65532:65532
ENTRYPOINT ["/usr/bin/orion-operator"]
