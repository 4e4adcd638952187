# docker build -t lingarith . && docker run --rm -v "$PWD:/work" lingarith demo
FROM python:3.13-slim
COPY pyproject.toml constraints.txt README.md LICENSE /build/
COPY src /build/src
# The index of processors' builds is the small one; a GPU wants torch from its own index instead.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -c /build/constraints.txt /build \
    && rm -rf /build
WORKDIR /work
ENTRYPOINT ["lingarith"]
